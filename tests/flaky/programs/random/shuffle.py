# p: 0.5
# flips to: runtime_error

import random

cards = list(range(52))
random.shuffle(cards)
assert cards.index(0) < cards.index(51)
