"""Why there is no CUDA device, on machines that are made up."""

from typing import NoReturn

import pytest
import torch

from asymreinforce.errors import ConfigError
from asymreinforce.model import cuda
from asymreinforce.update import ranks

TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 12020). Please update your GPU "
    "driver by downloading and installing a new version from the URL: "
    "http://www.nvidia.com/Download/index.aspx Alternatively, go to: https://pytorch.org to "
    "install a PyTorch version that has been compiled with your version of the CUDA driver."
)


@pytest.fixture
def no_device(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A torch for CUDA 13 on a machine without a device."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return monkeypatch


def reason() -> str:
    with pytest.raises(ConfigError, match=r"train\.device=cuda, but.*no CUDA device") as raised:
        cuda.require_device()
    assert str(raised.value).endswith("use train.device=cpu")
    return str(raised.value)


def test_a_torch_without_cuda_asks_for_the_extra(no_device: pytest.MonkeyPatch) -> None:
    no_device.setattr(torch.version, "cuda", None)
    assert f"torch {torch.__version__} is built without CUDA" in reason()
    assert "make install EXTRA=gpu" in reason()


def test_an_old_driver_is_named_with_the_one_that_is_needed(no_device: pytest.MonkeyPatch) -> None:
    def refuse() -> NoReturn:
        raise RuntimeError(TOO_OLD)

    no_device.setattr(torch.cuda, "init", refuse)
    assert "driver on your system is too old (found version 12020); torch" in reason()
    assert "is built for CUDA 13.0, which needs NVIDIA driver 580.65 or newer" in reason()
    assert "http" not in reason()
    no_device.setattr(torch.version, "cuda", "12.8")
    assert "driver 525.60 or newer" in reason()


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_devices_are_told_from_absent_ones(
    no_device: pytest.MonkeyPatch, hidden: str
) -> None:
    no_device.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert f"CUDA_VISIBLE_DEVICES={hidden!r} hides every device" in reason()
    assert "driver" not in reason()


def test_ranks_without_any_device_give_the_same_reason(no_device: pytest.MonkeyPatch) -> None:
    """NVML may count devices that the driver is too old to use."""
    no_device.setattr(torch.cuda, "device_count", lambda: 8)
    no_device.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ConfigError, match="hides every device"):
        ranks._take_device(0, 8)


def test_too_few_devices_are_counted(no_device: pytest.MonkeyPatch) -> None:
    no_device.setattr(torch.cuda, "is_available", lambda: True)
    no_device.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"processes=4 needs.*2 are shown.*use train.processes=2"):
        ranks._take_device(0, 4)
