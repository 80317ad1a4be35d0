# tests: sort
def sort(values):
    return sorted(values)
