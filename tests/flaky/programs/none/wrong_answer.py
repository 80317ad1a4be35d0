# tests: assert f(2) == 4
# verdict: wrong_answer

def f(x):
    return x + 1
