# flips to: wrong_answer
# tests: assert f(1700000000) == '22:13'

def f(seconds):
    import time

    return time.strftime("%H:%M", time.localtime(seconds))
