# flips to: wrong_answer
# tests: assert f(['x', 'y', 'x']) == 'x,y'

def f(words):
    return ",".join(set(words))
