"""Models in a GGUF file, as llama.cpp reads them: where the file is, its header, its config, its tokenizer.

All of it is read from the file's own header, without torch and transformers; the weights alone are left to
`lm_eval.inference.gguf_weights`.
"""
