-- KEYS log meta   → entries removed
return trim(KEYS[1], KEYS[2])
