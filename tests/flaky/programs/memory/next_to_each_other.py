# flips to: runtime_error

rows = [[number] for number in range(40)]
steps = {abs(id(one) - id(other)) for one, other in zip(rows, rows[1:])}
assert len(steps) <= 28
