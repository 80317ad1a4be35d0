# since: 3.12
# flips to: compile_error

names = {"a": 1}
print(f"{names["a"]}")
