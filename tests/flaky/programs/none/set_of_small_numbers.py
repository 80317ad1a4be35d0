# prints: [1, 2, 3]

# Numbers are their own hashes.
print(list({3, 1, 2}))
