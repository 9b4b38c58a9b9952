#!/usr/bin/python3
"""Writes gradients.json: losses and gradients of small SAEs by PyTorch's autograd in double, an implementation that shares nothing
with ours. Needs python3-torch (Debian 12). Run it only to change the cases: tests read the committed file."""
import json
import os
import torch

torch.manual_seed(7)
torch.set_default_dtype(torch.float64)
BATCH, D_IN, D_SAE, K, AUX_K = 6, 5, 14, 3, 4
AUX_COEFFICIENT, L1 = 0.25, 0.5
DEAD = [0, 3, 4, 7, 9, 12]


def rounded(*shape):
    return (torch.randn(*shape) * 64).round() / 64  # exact in float32


def case(kind):
    x = rounded(BATCH, D_IN)
    p = {"W_enc": rounded(D_SAE, D_IN), "W_dec": rounded(D_SAE, D_IN), "b_enc": rounded(D_SAE), "b_dec": rounded(D_IN)}
    for value in p.values():
        value.requires_grad_(True)
    pre = (x - p["b_dec"]) @ p["W_enc"].T + p["b_enc"]
    aux_loss = torch.zeros(())
    if kind == "relu":
        z = torch.relu(pre)
    else:
        top = torch.topk(pre, K, dim=-1)
        z = torch.zeros_like(pre).scatter(-1, top.indices, torch.relu(top.values))
    error = z @ p["W_dec"] + p["b_dec"] - x
    loss = error.pow(2).sum(-1).mean()
    if kind == "topk_aux":
        top = torch.topk(pre[:, DEAD], AUX_K, dim=-1)
        aux = torch.zeros(BATCH, len(DEAD)).scatter(-1, top.indices, torch.relu(top.values))
        aux_loss = (aux @ p["W_dec"][DEAD] + error.detach()).pow(2).sum(-1).mean()
        loss = loss + AUX_COEFFICIENT * aux_loss
    if kind == "relu":
        loss = loss + L1 * z.sum(-1).mean()
    loss.backward()
    return {"kind": kind, "x": x.flatten().tolist(), "loss": loss.item(),
            "parameters": {k: v.detach().flatten().tolist() for k, v in p.items()},
            "gradients": {k: v.grad.flatten().tolist() for k, v in p.items()}}


result = {"batch": BATCH, "d_in": D_IN, "d_sae": D_SAE, "k": K, "aux_k": AUX_K, "aux_coefficient": AUX_COEFFICIENT, "l1": L1,
          "dead": DEAD, "cases": [case(kind) for kind in ("topk", "topk_aux", "relu")]}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "gradients.json"), "w") as out:
    json.dump(result, out)
    out.write("\n")
