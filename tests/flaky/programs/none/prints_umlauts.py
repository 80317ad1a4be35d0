# prints: größer als żółw

print('größer als żółw')
