"""What devices can compute at most, from their makers' data sheets."""

# TFLOP/s of dense matrix products in bfloat16 (float16 where a device has none), summed in float32,
# per JAX device. Each is looked for in the kind of device, and the longest that is there counts.
_PEAK_TFLOPS = {
    "TPU v2": 22.5,  # a JAX device is one of a chip's two cores here, in v3 and in TPU7x
    "TPU v3": 61.5,
    "TPU v4": 275,
    "TPU v4 lite": 138,
    "TPU v5": 459,
    "TPU v5p": 459,
    "TPU v5e": 197,
    "TPU v5 lite": 197,
    "TPU v6e": 918,
    "TPU v6 lite": 918,
    "TPU7x": 1154,
    "V100": 125,
    "V100 PCIE": 112,
    "T4": 65,
    "A10": 125,
    "A10G": 70,
    "A30": 165,
    "A40": 149.7,
    "A100": 312,
    "L4": 121,
    "L40": 181,
    "L40S": 362,
    "H100": 989,
    "H100 PCIe": 756,
    "H100 NVL": 835,
    "H200": 989,
    "H200 NVL": 835,
    "GH200": 989,
    "B200": 2250,
    "GB200": 2500,
    "RTX 3090": 71,
    "RTX 4090": 165.2,
}
# Less than the whole device that the name says.
_PARTS = ("MIG", "Laptop")


def peak_flops(device_kind: str) -> float | None:
    """FLOP/s that a device can reach in 16-bit matrix products; None: unknown.

    Args:
      device_kind: as in `jax.Device.device_kind`, such as "TPU v4" or "NVIDIA A100-SXM4-40GB".
    """
    words = f" {device_kind.replace('-', ' ')} "
    if any(f" {part} " in words for part in _PARTS):
        return None
    known = [kind for kind in _PEAK_TFLOPS if f" {kind} " in words]
    return _PEAK_TFLOPS[max(known, key=len)] * 1e12 if known else None
