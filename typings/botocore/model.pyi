from typing import Any

class Shape:
    members: dict[str, Any]

class OperationModel:
    input_shape: Shape
    output_shape: Shape
    def get_event_stream_output(self) -> Shape: ...

class ServiceModel:
    def operation_model(self, operation_name: str) -> OperationModel: ...
