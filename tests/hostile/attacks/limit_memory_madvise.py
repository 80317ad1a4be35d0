# property: limits hold
# tests: none
# expect: memory_limit
# probe: memory_bounded
"""Memory that is given back at once: the peak is what counts."""

import mmap

size = 400 << 20
hog = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for offset in range(0, size, 4096):
    hog[offset] = 1
hog.madvise(mmap.MADV_DONTNEED)
