"""What fixes the arithmetic of a process: its device, threads and deterministic kernels."""

import os

import torch


def pick_device(name: str) -> torch.device:
    """ "auto" takes the GPU where there is one."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def fix_kernels(threads: int) -> None:
    """Before anything runs on the device; another number of threads gives other bytes."""
    os.putenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
