"""The softmax kernel in Triton's interpreter (TRITON_INTERPRET=1) against fp64, row by row."""

import torch
import triton  # noqa: F401

from asymreinforce.update import softmax


def main() -> None:
    torch.manual_seed(0)
    for words in (10, softmax.BLOCK, softmax.BLOCK + 1, 20_001):
        logits_NV = 5 * torch.randn(5, words)
        logits_NV[0, 3] += 80  # a distribution with one likely word
        logits_NV[1] -= 1000
        targets_N = torch.randint(words, (5,))
        targets_N[0], targets_N[2] = 3, words - 1
        wanted_NV = logits_NV.double().log_softmax(-1)
        wanted_N = wanted_NV.gather(1, targets_N[:, None])[:, 0]

        logps_N, entropies_N = softmax._run_kernel(logits_NV.clone(), targets_N, entropy=True)
        torch.testing.assert_close(logps_N.double(), wanted_N, rtol=1e-6, atol=1e-5)
        assert entropies_N is not None
        of_p_N = -(wanted_NV.exp() * wanted_NV).sum(-1)
        torch.testing.assert_close(entropies_N.double(), of_p_N, rtol=1e-5, atol=1e-6)

        buffer_NV = logits_NV.clone()
        difference_NV = buffer_NV.view(torch.bfloat16)[:, :words]
        logps_N, _ = softmax._run_kernel(buffer_NV, targets_N, difference_NV=difference_NV)
        torch.testing.assert_close(logps_N.double(), wanted_N, rtol=1e-6, atol=1e-5)
        differences_NV = wanted_NV.exp()
        differences_NV[torch.arange(5), targets_N] -= 1
        # the interpreter cuts to bf16 where the device rounds: twice the error
        torch.testing.assert_close(difference_NV.double(), differences_NV, rtol=2**-7, atol=1e-6)
        print(words)

    logits_NV = torch.zeros(2, 10)
    logits_NV[0, 4], logits_NV[1, 5] = float("nan"), float("inf")
    logps_N, _ = softmax._run_kernel(logits_NV, torch.zeros(2, dtype=torch.int64))
    assert logps_N.isnan().all(), "a bad logit must not make a good number"
    print("nan")


if __name__ == "__main__":
    main()
