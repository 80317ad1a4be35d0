# verdict: time_limit
# limits: {"wall_s": 0.2}

while True:
    pass
