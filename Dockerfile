# For machines with an NVIDIA GPU and driver 580 or newer: torch is built for CUDA 13 and brings its libraries.
#   docker build -t asymreinforce .
#   docker run --gpus all --shm-size 16g -v "$PWD/runs:/work/runs" asymreinforce sweep experiment=h200_qwen3b
FROM python:3.12-slim

# vLLM compiles kernels on first use
RUN apt-get update && apt-get install --yes --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir uv

WORKDIR /opt/asymreinforce
COPY . .
RUN uv pip install --system --no-cache --constraints constraints-gpu.txt --overrides overrides.txt '.[gpu]'

WORKDIR /work
ENTRYPOINT ["asymrl"]
CMD ["--help"]
