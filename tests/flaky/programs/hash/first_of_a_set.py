# flips to: runtime_error

words = {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "kappa"}
assert list(words)[0] < "epsilon"
