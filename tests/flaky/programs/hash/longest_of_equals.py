# flips to: wrong_answer
# tests: assert f(['fig', 'pear', 'plum']) == 'pear'

def f(words):
    return max(set(words), key=len)
