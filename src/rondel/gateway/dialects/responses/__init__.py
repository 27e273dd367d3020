"""OpenAI's Responses API: requests read as chat completions, answers written from them, and answers read as them.

Source: https://platform.openai.com/docs/api-reference/responses
"""
