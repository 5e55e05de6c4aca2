#!/usr/bin/env bash
# A real Apache Kafka 4.1 (KRaft, one node, 127.0.0.1) without containers, run from its published jars.
#
#   kafka.sh start [--secured] DIR [PORT [PROXY_PORT]]
#                                            starts it with its data in DIR and prints its address when it answers.
#                                            PORT: 9092 unless said; `any` takes free ones, and again those that
#                                            DIR had before. PORT+1 is its controller.
#                                            PROXY_PORT: it listens on PORT+2 too, for a proxy between it and its
#                                            clients: who asks there is sent on to 127.0.0.1:PROXY_PORT.
#                                            --secured: on PORT+2 it wants TLS, by the certificate of DIR/ca.pem, and a
#                                            login, by PLAIN or SCRAM-SHA-256. `admin` may do all, `emitter`,
#                                            `processor` and `viewer` what ACLs allow; NAME's password is
#                                            `NAME-hush-hush`. For tests: PORT stays open to all on this machine.
#   kafka.sh stop DIR                        stops it and waits for its end; the data stays, `start` takes it up again.
#   kafka.sh tool CLASS ARGS...              runs one of Kafka's own tools, for example
#                                            org.apache.kafka.tools.TopicCommand --bootstrap-server 127.0.0.1:9092 --list
#
# Needs Java 17 or newer; Maven for the first run, which fetches the jars into ~/.cache/goka (or KAFKA_LIBS).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
libs=${KAFKA_LIBS:-${XDG_CACHE_HOME:-$HOME/.cache}/goka/kafka-4.1.1}
wait_seconds=180

fail() {
  echo "kafka.sh: $*" >&2
  exit 1
}

usage() {
  sed -n '2,19s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit "$1"
}

need() {
  command -v "$1" >/dev/null || fail "\`$1\` is missing. Install it, on Debian and Ubuntu: apt-get install $2"
}

# Fetched beside the final place and then moved there: a run that was cut short leaves nothing half done behind.
fetch_jars() {
  need java openjdk-17-jre-headless
  [ -d "$libs" ] && return
  need mvn maven
  echo "fetching Kafka's jars into $libs ..." >&2
  mkdir -p "$(dirname "$libs")"
  local part
  part=$(mktemp -d "$libs.XXXXXX")
  mvn --quiet --batch-mode --file "$here/kafka.pom.xml" \
    dependency:copy-dependencies -DoutputDirectory="$part" -DincludeScope=runtime >&2 ||
    fail "Maven could not fetch Kafka's jars; its reason stands above"
  if [ -d "$libs" ]; then rm -rf "$part"; else mv "$part" "$libs"; fi
  [ -d "$libs" ] || fail "cannot write $libs; set KAFKA_LIBS to a directory that can be created"
}

answers() {
  (echo >"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Three free ports in a row, below those that systems hand out by themselves.
free_port() {
  local port
  for _ in $(seq 100); do
    port=$((20000 + RANDOM % 10000))
    answers "$port" || answers $((port + 1)) || answers $((port + 2)) || {
      echo "$port"
      return
    }
  done
  fail "found no three free ports in a row between 20000 and 30000"
}

# That of DIR, which its data knows too.
used_port() {
  sed -n 's|^listeners=PLAINTEXT://127.0.0.1:\([0-9]*\),.*|\1|p' "$1/server.properties" 2>/dev/null | grep .
}

# The process of DIR, if it lives. A number that was given to another program meanwhile is not ours.
alive() {
  local pid
  pid=$(cat "$1/pid" 2>/dev/null) && [ -n "$pid" ] || return 1
  if [ -d /proc/self ]; then
    tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF "$1/server.properties"
  else
    ps -p "$pid" -o command= 2>/dev/null | grep -qF "$1/server.properties"
  fi
}

# A certificate authority, and a key of the broker that it has signed. By keytool, which comes with Java.
make_certificates() {
  local dir=$1
  [ ! -f "$dir/ca.pem" ] || return 0
  local store=("-keystore" "$dir/keys.p12" "-storetype" PKCS12 "-storepass" changeit)
  local key=(-genkeypair -keyalg EC -groupname secp256r1 -validity 3650)
  rm -f "$dir/keys.p12"
  {
    keytool "${key[@]}" -alias ca -dname CN=goka-tests-ca -ext bc:critical=ca:true "${store[@]}" &&
      keytool -exportcert -rfc -alias ca -file "$dir/ca.part" "${store[@]}" &&
      keytool "${key[@]}" -alias broker -dname CN=localhost "${store[@]}" &&
      keytool -certreq -alias broker -file "$dir/broker.csr" "${store[@]}" &&
      keytool -gencert -alias ca -rfc -validity 3650 -ext san=dns:localhost,ip:127.0.0.1 \
        -infile "$dir/broker.csr" -outfile "$dir/broker.pem" "${store[@]}" &&
      keytool -importcert -noprompt -alias broker -file "$dir/broker.pem" "${store[@]}" &&
      # The broker must not offer the authority as a key of its own.
      keytool -delete -alias ca "${store[@]}"
  } >"$dir/keytool.out" 2>&1 || { cat "$dir/keytool.out" >&2 && fail "cannot make certificates in $dir"; }
  mv "$dir/ca.part" "$dir/ca.pem"
}

write_settings() {
  local dir=$1 port=$2 proxy_port=$3 secured=$4 listeners advertised
  listeners="PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))"
  advertised="PLAINTEXT://127.0.0.1:$port"
  if [ -n "$proxy_port" ]; then
    listeners+=",PROXIED://127.0.0.1:$((port + 2))"
    advertised+=",PROXIED://127.0.0.1:$proxy_port"
  fi
  if [ -n "$secured" ]; then
    listeners+=",SECURED://127.0.0.1:$((port + 2))"
    advertised+=",SECURED://127.0.0.1:$((port + 2))"
  fi
  # One node keeps one copy of everything; groups need not wait for more members; topics are created by who needs them.
  cat >"$dir/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
listeners=$listeners
advertised.listeners=$advertised
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,SECURED:SASL_SSL
log.dirs=$dir/data
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
log.cleaner.dedupe.buffer.size=20000000
EOF
  # Who comes by the other listeners is ANONYMOUS: the broker itself, and those who prepare tests.
  [ -z "$secured" ] || cat >>"$dir/server.properties" <<EOF
listener.name.secured.ssl.keystore.type=PKCS12
listener.name.secured.ssl.keystore.location=$dir/keys.p12
listener.name.secured.ssl.keystore.password=changeit
listener.name.secured.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.secured.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  $(for name in $secured; do printf 'user_%s="%s-hush-hush" ' "$name" "$name"; done);
listener.name.secured.scram-sha-256.sasl.jaas.config=\\
  org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:admin
EOF
  cat >"$dir/log4j2.properties" <<EOF
status=error
appender.file.type=File
appender.file.name=file
appender.file.fileName=$dir/kafka.log
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d %p %c{1} %m%n
rootLogger.level=INFO
rootLogger.appenderRef.file.ref=file
EOF
}

start() {
  local secured=
  [ "$1" != --secured ] || { secured="admin emitter processor viewer" && shift; }
  local dir=${1:?} port=${2:-9092} proxy_port=${3:-}
  fetch_jars
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  ! alive "$dir" || fail "a Kafka is running in $dir already; stop it first: $0 stop $dir"
  [ "$port" != any ] || port=$(used_port "$dir" || free_port)
  [[ "$port$proxy_port" =~ ^[0-9]+$ ]] || fail "a port is a number, or \`any\`"
  ! answers "$port" || fail "another program listens on port $port; give another one: $0 start $dir any"
  [ -z "$secured" ] || [ -z "$proxy_port" ] || fail "--secured takes the place of PROXY_PORT"
  [ -z "$secured" ] || make_certificates "$dir"
  write_settings "$dir" "$port" "$proxy_port" "$secured"

  local java=(java "-Dlog4j2.configurationFile=$dir/log4j2.properties" -cp "$libs/*")
  if [ ! -f "$dir/data/meta.properties" ]; then
    local cluster_id users=() name
    [ -z "$secured" ] || for name in $secured; do
      users+=(--add-scram "SCRAM-SHA-256=[name=$name,password=$name-hush-hush]")
    done
    cluster_id=$("${java[@]}" kafka.tools.StorageTool random-uuid 2>/dev/null | tail -n 1)
    "${java[@]}" kafka.tools.StorageTool format -t "$cluster_id" -c "$dir/server.properties" ${users[@]+"${users[@]}"} >"$dir/kafka.out" 2>&1 ||
      { cat "$dir/kafka.out" >&2 && fail "cannot format $dir/data"; }
  fi
  nohup "${java[@]}" -Xms256m -Xmx1g kafka.Kafka "$dir/server.properties" </dev/null >"$dir/kafka.out" 2>&1 &
  echo $! >"$dir/pid"

  local deadline=$((SECONDS + wait_seconds))
  until answers "$port"; do
    kill -0 "$(cat "$dir/pid")" 2>/dev/null || { tail -n 20 "$dir/kafka.out" >&2 && fail "Kafka ended while it started"; }
    [ $SECONDS -lt $deadline ] || { stop "$dir" && fail "Kafka did not answer within $wait_seconds s; see $dir/kafka.log"; }
    sleep 0.2
  done
  echo "127.0.0.1:$port"
}

stop() {
  local dir pid deadline=$((SECONDS + wait_seconds))
  dir=$(cd "${1:?}" && pwd)
  alive "$dir" || { rm -f "$dir/pid" && return; }
  pid=$(cat "$dir/pid")
  # One that was killed may be gone by now.
  kill "$pid" 2>/dev/null || true
  while alive "$dir"; do
    [ $SECONDS -lt $deadline ] || { echo "kafka.sh: it did not end within $wait_seconds s: killed" >&2 && kill -KILL "$pid"; }
    sleep 0.1
  done
  rm -f "$dir/pid"
}

case "${1:-}:$#" in
start:[2-5]) start "${@:2}" ;;
stop:2) stop "$2" ;;
tool:[2-9] | tool:[1-9][0-9])
  fetch_jars
  exec java -cp "$libs/*" "${@:2}"
  ;;
-h:1 | --help:1) usage 0 ;;
*) usage 2 >&2 ;;
esac
