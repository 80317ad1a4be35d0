# flips to: wrong_answer
# prints: {'no', 'yes'}

print({answer.lower() for answer in ('Yes', 'NO')})
