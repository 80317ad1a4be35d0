# verdict: runtime_error

names = {"a": 1}
print(names["b"])
