# prints: 15

print(sum(len(word) for word in {'a', 'bb', 'ccc', 'dddd', 'eeeee'}))
