# What Rondel uses of safetensors.
