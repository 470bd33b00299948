# GNU make 3.81 (macOS) and newer. Every target installs what it lacks first; see Integration/install.
SWIFT ?= swift

.DEFAULT_GOAL := help
.PHONY: help demo build test test-kafka bench format lint clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: ## Run the pipeline over a sample on a SQLite file: no broker needed; again, it finds everything known
	@Integration/install build
	$(SWIFT) build --product mq
	bin=$$($(SWIFT) build --show-bin-path) && "$$bin/mq" pipeline run --backend "sqlite:$$bin/demo.sqlite" \
		--input docs/examples/statements.csv --until-idle

build: ## Build everything, debug
	@Integration/install build
	$(SWIFT) build

test: ## Run every test, on live brokers too (private ones, started and stopped here; a stand-in for Kafka)
	@Integration/install build redis rabbitmq kafka tests
	$(SWIFT) build --build-tests
	MQ_TEST_BROKERS="redis rabbitmq kafka" Integration/with-brokers Integration/run-tests $(SWIFT)

test-kafka: ## Run only the tests of the Kafka backend: on librdkafka's mock cluster and on a stand-in server
	@Integration/install build redis rabbitmq kafka tests
	$(SWIFT) build --build-tests
	MQ_TEST_BROKERS=kafka Integration/with-brokers Integration/run-tests --kafka $(SWIFT)

bench: ## Measure Redis and RabbitMQ (private ones) and SQLite, each beside its plain client; a release build
	@Integration/install build redis rabbitmq
	$(SWIFT) build -c release --product mq
	Integration/with-brokers Integration/bench "$$($(SWIFT) build -c release --show-bin-path)/mq"

format: ## Format the sources in place
	@Integration/install swift
	$(SWIFT) format format --in-place --recursive --parallel Sources Tests Integration Package.swift

lint: ## Check the sources' format and style; any finding fails
	@Integration/install swift
	$(SWIFT) format lint --strict --recursive --parallel Sources Tests Integration Package.swift

clean: ## Remove what the build made
	$(SWIFT) package clean
