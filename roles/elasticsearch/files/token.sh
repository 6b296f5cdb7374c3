# Prints a new token of the service account elastic/kibana. Argument: the folder of Elasticsearch's programs.
set -eu
tokens=$1/elasticsearch-service-tokens
# One whose text is lost is of no use to anybody.
if "$tokens" list elastic/kibana | grep -q 'elastic/kibana/prsnl'; then "$tokens" delete elastic/kibana prsnl >/dev/null; fi
"$tokens" create elastic/kibana prsnl | sed -n 's/^SERVICE_TOKEN .* = //p'
chown root:elasticsearch /etc/elasticsearch/service_tokens
chmod 0660 /etc/elasticsearch/service_tokens
