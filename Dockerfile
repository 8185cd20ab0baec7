FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements/run.lock requirements/run.lock
RUN python -m venv /opt/flycam && /opt/flycam/bin/pip install --require-hashes -r requirements/run.lock
COPY . .
RUN cd web && PATH=/opt/flycam/bin:$PATH npm ci && PATH=/opt/flycam/bin:$PATH npm run build
RUN /opt/flycam/bin/pip install --no-build-isolation --no-deps .

FROM python:3.13-slim
COPY --from=build /opt/flycam /opt/flycam
ENV PATH=/opt/flycam/bin:$PATH
RUN useradd --create-home flycam && mkdir -m 700 /data && chown flycam /data
USER flycam
CMD ["flycam", "serve", "--host", "0.0.0.0"]
