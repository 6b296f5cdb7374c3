# Prints a new token of the service account elastic/kibana. Arguments: the folders of Elasticsearch's programs and
# of its configuration, and its group.
set -eu
tokens=$1/elasticsearch-service-tokens
# One whose text is lost is of no use to anybody.
if "$tokens" list elastic/kibana | grep -q 'elastic/kibana/prsnl'; then "$tokens" delete elastic/kibana prsnl >/dev/null; fi
"$tokens" create elastic/kibana prsnl | sed -n 's/^SERVICE_TOKEN .* = //p'
chown "root:$3" "$2/service_tokens"
chmod 0660 "$2/service_tokens"
