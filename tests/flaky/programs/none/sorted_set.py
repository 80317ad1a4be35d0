# prints: ['apple', 'fig', 'pear']

print(sorted({'pear', 'fig', 'apple'}))
