import random
random.seed(7)
assert [random.randrange(100) for _ in range(3)] == [41, 19, 50]
