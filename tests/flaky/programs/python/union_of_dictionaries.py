# since: 3.9
# flips to: runtime_error

print({"a": 1} | {"b": 2})
