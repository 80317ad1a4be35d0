# prints: [0, 1, 4, 9, 16]

from concurrent.futures import ThreadPoolExecutor

with ThreadPoolExecutor() as pool:
    print(list(pool.map(lambda n: n * n, range(5))))
