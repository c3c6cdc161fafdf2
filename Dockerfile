# gnp with everything that it needs, on the CPU or, with EXTRAS=data,cuda, on NVIDIA GPUs:
#   docker build --tag gnp [--build-arg EXTRAS=data,cuda] .
#   docker run --rm [--gpus all] --volume gnp-runs:/runs gnp train --config=config/digits.py --working_dir=/runs
# A folder of the host in the place of the volume gnp-runs must exist and be writable for the user 1000.
# CUDA's libraries come as Python packages; the host needs the driver and NVIDIA's container toolkit alone.
FROM python:3.12-slim

ARG EXTRAS=data
WORKDIR /opt/gnp
COPY setup.py pyproject.toml requirements.txt README.md ./
COPY gnp gnp
COPY config config
# The pins hold for the packages that are installed, and install none themselves.
RUN pip install --no-cache-dir --constraint requirements.txt ".[${EXTRAS}]"

RUN useradd --uid 1000 --create-home gnp && mkdir /runs && chown gnp /runs
USER 1000
WORKDIR /home/gnp
ENTRYPOINT ["gnp"]
