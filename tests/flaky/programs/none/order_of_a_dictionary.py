# tests: assert f('banana') == ['b', 'a', 'n']

def f(text):
    return list(dict.fromkeys(text))
