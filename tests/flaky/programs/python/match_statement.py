# since: 3.10
# flips to: compile_error

match [1, 2]:
    case [first, *_]:
        print(first)
