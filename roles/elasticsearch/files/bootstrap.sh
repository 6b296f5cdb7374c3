# Gives the user elastic its first password, which comes from standard input. Argument: the folder of Elasticsearch's programs.
set -eu
keystore=$1/elasticsearch-keystore
directory=/etc/elasticsearch
[ -e "$directory/elasticsearch.keystore" ] || "$keystore" create
# What the package's own set-up of security left would prevail.
for name in autoconfiguration.password_hash xpack.security.http.ssl.keystore.secure_password \
    xpack.security.transport.ssl.keystore.secure_password xpack.security.transport.ssl.truststore.secure_password; do
  if "$keystore" list | grep -qx "$name"; then "$keystore" remove "$name"; fi
done
"$keystore" add --stdin --force bootstrap.password
chown root:elasticsearch "$directory/elasticsearch.keystore"
chmod 0660 "$directory/elasticsearch.keystore"
touch "$directory/.bootstrapped"
