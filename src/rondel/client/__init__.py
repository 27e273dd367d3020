"""The SDK: call, trace and give feedback from an application. Imports no other area."""
