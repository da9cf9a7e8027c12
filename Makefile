# Entry points to playbooks and tests, without logic of their own.
PYTHON ?= python3
INVENTORY ?= inventories/local
export PYTHON
export LC_ALL := C.UTF-8
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PLAY := ansible-playbook -i $(INVENTORY)
SUITE := python tests/tools/suite.py
# Read from the environment, where make puts it: a name may have characters that mean something to a shell.
OF_TEAM = -e '{"usage_team": "{{ lookup(\"env\", \"TEAM\") }}"}'

.DEFAULT_GOAL := help
.PHONY: help venv venv-test up verify doctor status flows versions usage down purge test test-quick lint sanity test-unit test-gateway test-portal \
	test-all test-artifact images test-modules test-molecule test-registries test-kubernetes test-acme test-standard test-enterprise test-scale test-cores docs conformance bench-gateway bench-llm \
	test-clients test-clients-gateway test-keycloak record-clients outdated pictures

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' Makefile

up: venv ## Deploy the light tier on this machine, verify it, print its addresses
	$(PLAY) site.yml
verify: venv ## Check a running platform from end to end
	$(PLAY) playbooks/verify.yml
doctor: venv ## Diagnose: findings with cause and fix; FIX=1 makes the safe repairs
	$(PLAY) playbooks/doctor.yml $(if $(FIX),--tags fix)
status: venv ## The last 24 h: load, errors, latency, tokens, tools, hosts, alerts; a page and a table (needs group monitoring)
	@$(PLAY) playbooks/status.yml
flows: venv ## Who may talk to whom, as a table and as Mermaid; contacts no host
	@$(PLAY) playbooks/flows.yml
versions: venv ## Which version of what runs where, why, and where it is pinned; contacts no host
	@$(PLAY) playbooks/versions.yml
usage: venv ## Tokens, cost and tool calls of each person and team; MONTH=2027-01, TEAM=payments
	$(PLAY) playbooks/usage.yml $(if $(MONTH),-e usage_month=$(MONTH)) $(if $(TEAM),$(OF_TEAM))
down: venv ## Remove the platform, keep its data and secrets
	$(PLAY) playbooks/absent.yml -e '{"absent_data": false}'
purge: venv ## Remove the platform with data, secrets and images
	$(PLAY) playbooks/absent.yml -e '{"absent_data": true}'

test: venv-test ## Lint, sanity, unit tests, gateway, portal, modules and the light tier, in two lanes: within 40 minutes on two cores with the images built before, else an hour
	@$(SUITE) all
test-all: ## `make test`, then every lane that is a command of its own, one after the other: about four hours
	@failed=; for lane in test sanity test-cores test-registries test-kubernetes test-acme test-standard test-enterprise test-scale test-keycloak test-clients conformance; do \
		echo "== $$lane"; $(MAKE) --no-print-directory $$lane || failed="$$failed $$lane"; \
	done; [ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }
test-quick: venv-test ## Lint, unit tests, the artifact and the gateway, within four minutes
	@$(SUITE) quick
lint: venv-test ## ansible-lint, yamllint, ruff, shellcheck
	@$(SUITE) lint
sanity: venv-test ## ansible-test sanity, as far as it runs without the internet; pylint is not part of `make test`
	@$(SUITE) sanity
test-unit: venv-test ## Modules, plugins and the repository's own rules
	@$(SUITE) unit
test-gateway: venv-test ## The gateway package
	@$(SUITE) gateway
test-portal: venv-test ## The portal package, with a real provider
	@$(SUITE) portal
test-artifact: venv-test ## Build the collection, install it elsewhere, use it there
	@$(SUITE) artifact
images: venv-test ## Build every image once and export it for the test hosts
	@$(SUITE) images
test-modules: venv-test ## Modules against real services in containers
	@$(SUITE) modules
test-molecule: venv-test ## The light tier on a systemd host, from bare to absent
	@$(SUITE) molecule
test-registries: venv-test ## Publishers' images, registries with logins, a company's authority (not part of `make test`)
	@$(SUITE) registries
test-kubernetes: venv-test ## What sites change of a cluster, before a fake API server (not part of `make test`)
	@$(SUITE) kubernetes
test-acme: venv-test ## Certificates from an ACME server, compiled first (not part of `make test`)
	@$(SUITE) acme
test-standard: venv-test ## Four hosts: faults, rolling restarts and scaling under load (not part of `make test`)
	@$(SUITE) standard
test-enterprise: venv-test ## The enterprise tier in a real one-node cluster; needs root (not part of `make test`)
	@$(SUITE) enterprise
test-scale: venv-test ## The enterprise tier on 500 simulated nodes; needs root (not part of `make test`)
	@$(SUITE) scale
test-keycloak: venv-test ## Sign-on with a Keycloak out of Maven; needs Java and Maven (not part of `make test`)
	@$(SUITE) keycloak
test-cores: venv-test ## The unit tests that meet ansible-core, with the newest one (not part of `make test`, whose Molecule runs it)
	@$(SUITE) cores

conformance: ## The official MCP suite, directly and through the gateway: no check may fail only there
	@$(PYTHON) tests/conformance/conformance.py
bench-gateway: ## The gateway compared with other proxies: requests/s, latency, CPU, memory
	@$(PYTHON) tests/bench/gateway/bench.py $(BENCH)
bench-llm: venv-test ## Time to first token of each turn of an agent, and LiteLLM's share of it
	@python tests/bench/llm/bench.py $(BENCH)
test-clients-gateway: venv-test ## Claude Code and Codex against the gateway
	@python -m pytest -p no:cacheprovider --import-mode=importlib tests/clients/test_clients.py
test-clients: venv-test ## Five real CLIs with rendered bundles: a platform of the roles, a scripted model, real weights
	@python -m pytest -p no:cacheprovider --import-mode=importlib tests/clients
record-clients: venv-test ## Record what each pinned CLI sends first, after a version changed
	@python tests/clients/record.py

outdated: venv-test ## Every pinned version beside the newest release, and why some stay behind
	@python tests/tools/outdated.py
docs: venv-test ## Generate the roles' READMEs from their argument specs
	@python tests/tools/role_readme.py
pictures: venv-test ## Take the pictures of the READMEs (needs Chromium)
	@python tests/pictures/take.py
venv: ## Create .venv with what playbooks need
	@tests/tools/venv.sh .venv requirements.txt
venv-test: ## ... and with what tests need
	@tests/tools/venv.sh .venv requirements.txt requirements-test.txt
