# iscc-lidar with both extras, without a C compiler in the final image.
#   CPU:  docker build -t iscc-lidar .
#   GPU:  docker build -t iscc-lidar:gpu --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .
#   run:  docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" iscc-lidar iscc-preprocess synth data/synthetic
#         docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" --gpus all iscc-lidar:gpu iscc-train pretrain ...
# No --shm-size is needed: loader processes hand batches over without shared memory.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/iscc-lidar
ENV PATH=/opt/iscc-lidar/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
# What seldom changes comes first, so that it is built once.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY constraints.txt ./
RUN pip install "$(grep '^torch==' constraints.txt)" --constraint constraints.txt --extra-index-url "$TORCH_INDEX"
COPY pyproject.toml setup.py README.md LICENSE ./
COPY src src
COPY data_schemas data_schemas
COPY shared shared
COPY preprocess preprocess
COPY trainer trainer
RUN pip install --constraint constraints.txt ".[preprocess,train]"

FROM python:${PYTHON}-slim
COPY --from=build /opt/iscc-lidar /opt/iscc-lidar
# Any user may run it: what libraries keep goes to /tmp.
ENV PATH=/opt/iscc-lidar/bin:$PATH HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /work
CMD ["iscc-train", "--help"]
