# Gives the user elastic its first password, which comes from standard input. Arguments: the folders of Elasticsearch's
# programs and of its configuration, and its group.
set -eu
keystore=$1/elasticsearch-keystore
directory=$2
group=$3
[ -e "$directory/elasticsearch.keystore" ] || "$keystore" create
# What the package's own set-up of security left would prevail.
for name in autoconfiguration.password_hash xpack.security.http.ssl.keystore.secure_password \
    xpack.security.transport.ssl.keystore.secure_password xpack.security.transport.ssl.truststore.secure_password; do
  if "$keystore" list | grep -qx "$name"; then "$keystore" remove "$name"; fi
done
"$keystore" add --stdin --force bootstrap.password
chown "root:$group" "$directory/elasticsearch.keystore"
chmod 0660 "$directory/elasticsearch.keystore"
touch "$directory/.bootstrapped"
