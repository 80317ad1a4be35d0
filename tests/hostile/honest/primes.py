# tests: printed
print(*[n for n in range(2, 14) if all(n % d for d in range(2, n))])
