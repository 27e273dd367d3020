"""Bedrock's Converse API as servers speak it: requests, answers, and the frames of its streams."""
