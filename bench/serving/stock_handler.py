"""TorchServe's BaseHandler with the least it needs to serve this policy: JSON in, best action out."""

import torch
from ts.torch_handler.base_handler import BaseHandler


class StockHandler(BaseHandler):
    def preprocess(self, data):
        observations = [row["body"]["observation"] for row in data]
        return torch.tensor(observations, dtype=torch.float32, device=self.device)

    def postprocess(self, data):
        return [{"action": action} for action in data.argmax(dim=1).tolist()]
