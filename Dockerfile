ARG PYTHON_IMAGE=python:3.13-slim
FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY requirements requirements
RUN python -m venv /opt/flycam && /opt/flycam/bin/pip install --require-hashes -r requirements/run.lock
RUN python -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r requirements/build.lock
ENV PATH=/opt/build/bin:$PATH
COPY . .
RUN cd web && npm ci && npm run build
RUN hatchling build -t wheel && /opt/flycam/bin/pip install --no-deps dist/*.whl

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/flycam /opt/flycam
ENV PATH=/opt/flycam/bin:$PATH
RUN useradd --create-home flycam && mkdir -m 700 /data /scratch /cluster && chown flycam /data /scratch /cluster
USER flycam
CMD ["flycam", "serve", "--host", "0.0.0.0"]
