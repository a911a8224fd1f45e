"""Operations with hand-written gradients: a few passes over memory where automatic ones make dozens.

Debian's torch has no compiler that would join element-wise operations, and this model is small enough that they, not the
matrix products, take most of the time.
"""

import torch

HEAD_ROWS = 256  # logits of so many rows fit a core's cache


class Rms(torch.autograd.Function):
    """x / rms(x) * weight in fp32; x [..., n], weight [n] or None."""

    @staticmethod
    def forward(ctx, x, weight, eps):
        x = x.float()
        inverse = (x.square().mean(-1, keepdim=True) + eps).rsqrt_()
        ctx.save_for_backward(x, inverse, weight)
        y = x * inverse
        return y if weight is None else y.mul_(weight)

    @staticmethod
    def backward(ctx, gradient):
        x, inverse, weight = ctx.saved_tensors
        unit = x * inverse
        of_weight = None
        if weight is not None:
            of_weight = (gradient * unit).flatten(0, -2).sum(0)
            gradient = gradient * weight
        along = (gradient * unit).mean(-1, keepdim=True)
        return (gradient - unit.mul_(along)).mul_(inverse), of_weight, None


class Rotate(torch.autograd.Function):
    """Rotary embedding on pairs (i, i + d/2); x [batch, time, heads, d], cos and sin [time, 1, d/2]."""

    @staticmethod
    def forward(ctx, x, cos, sin):
        ctx.save_for_backward(cos, sin)
        return turned(x, cos, sin)

    @staticmethod
    def backward(ctx, gradient):
        cos, sin = ctx.saved_tensors
        return turned(gradient, cos, -sin), None, None


def turned(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    y = torch.empty_like(x)
    first, second = y.chunk(2, dim=-1)
    torch.mul(a, cos, out=first).addcmul_(b, sin, value=-1)
    torch.mul(b, cos, out=second).addcmul_(a, sin)
    return y


class GatedGelu(torch.autograd.Function):
    """gelu(gate) * up with the tanh form of GELU, written with the logistic function, which vectorises better."""

    STEEPNESS, CUBIC = 1.5957691216, 1.5957691216 * 0.044715

    @staticmethod
    def forward(ctx, gate, up):
        share = (gate * gate).mul_(GatedGelu.CUBIC).add_(GatedGelu.STEEPNESS).mul_(gate).sigmoid_()
        ctx.save_for_backward(gate, up, share)
        return (gate * share).mul_(up)

    @staticmethod
    def backward(ctx, gradient):
        gate, up, share = ctx.saved_tensors
        value = gate * share
        slope = (gate * gate).mul_(3 * GatedGelu.CUBIC).add_(GatedGelu.STEEPNESS)
        slope.mul_(torch.addcmul(value, value, share, value=-1)).add_(share)
        return slope.mul_(gradient).mul_(up), value.mul_(gradient)


class CappedLosses(torch.autograd.Function):
    """Next-token losses [n] of softcap * tanh(hidden @ table.T / softcap), and their mean weighted by `weights`.

    hidden [n, width], table [vocabulary, width], targets and weights [n].  The gradients of the weighted mean are computed
    with the losses, a few rows at a time, so that the logits of all rows never exist; the losses themselves have none.
    """

    @staticmethod
    def forward(ctx, hidden, table, targets, weights, softcap, half):
        weights = weights / weights.sum()
        narrow_table = table.to(half)
        losses = torch.empty_like(weights)
        of_hidden, of_table = torch.empty_like(hidden), torch.zeros_like(table)
        for first in range(0, len(hidden), HEAD_ROWS):
            rows = slice(first, first + HEAD_ROWS)
            narrow = hidden[rows].to(half)
            tanh = (narrow @ narrow_table.T).float().mul_(2 / softcap).sigmoid_().mul_(2).sub_(1)
            logits = tanh * softcap  # at most softcap, so exp needs no shift
            target = targets[rows, None]
            wanted = logits.gather(1, target)
            p = logits.exp_()
            total = p.sum(1, keepdim=True)
            losses[rows] = (total.log() - wanted)[:, 0]
            share = weights[rows, None]
            p.mul_(share / total).scatter_add_(1, target, -share)
            gradient = p.addcmul_(p, tanh.square_(), value=-1).to(half)
            of_hidden[rows] = (gradient @ narrow_table).to(hidden.dtype)
            of_table += gradient.T @ narrow
        ctx.save_for_backward(of_hidden, of_table)
        ctx.mark_non_differentiable(losses)
        return losses, (losses * weights).sum()

    @staticmethod
    def backward(ctx, _, gradient):
        of_hidden, of_table = ctx.saved_tensors
        return of_hidden * gradient, of_table * gradient, None, None, None, None
