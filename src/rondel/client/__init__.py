"""The SDK: call, trace and give feedback from an application. Imports no other area."""

from rondel.client.sdk import Client as Client
from rondel.client.tracing import configure as configure
from rondel.client.tracing import trace as trace
