#!/usr/bin/env bash
# Runs a real Apache Kafka 4.1 (KRaft, one node, on 127.0.0.1) without containers, from its published jars.
#
#   kafka.sh start [--secured] DIR [PORT [PROXY_PORT]]
#       Starts Kafka with its data in DIR, waits until Kafka answers, and prints the address of the broker.
#       PORT        The port of the broker, by default 9092; the controller uses PORT+1. `any` chooses free ports, or
#                   the ports of the previous start if DIR has been used before.
#       PROXY_PORT  Adds a listener on PORT+2 for a proxy: the broker tells clients that use this listener to
#                   connect to 127.0.0.1:PROXY_PORT.
#       --secured   Adds a listener on PORT+2 that requires TLS (certificate authority in DIR/ca.pem) and SASL (PLAIN
#                   or SCRAM-SHA-256). The user `admin` may do everything; `emitter`, `processor` and `viewer` may do
#                   what ACLs allow. The password of the user NAME is `NAME-hush-hush`. This is for tests only: PORT
#                   stays open to every process on this machine.
#   kafka.sh stop DIR
#       Stops Kafka and waits until it has ended. The data stays in DIR, and the next `start` with DIR uses it again.
#   kafka.sh tool CLASS ARGS...
#       Runs one of Kafka's own tools, for example
#       org.apache.kafka.tools.TopicCommand --bootstrap-server 127.0.0.1:9092 --list
#
# Needs Java 17 or newer. The first run also needs Maven, to download the jars to ~/.cache/goka (or KAFKA_LIBS).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
libs=${KAFKA_LIBS:-${XDG_CACHE_HOME:-$HOME/.cache}/goka/kafka-4.1.1}
wait_seconds=180

fail() {
  echo "kafka.sh: $*" >&2
  exit 1
}

usage() {
  sed -n '2,20s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit "$1"
}

need() {
  command -v "$1" >/dev/null || fail "\`$1\` is missing. Install it, on Debian and Ubuntu: apt-get install $2"
}

# Downloads the jars to a temporary directory and then renames it, so that an interrupted run leaves no incomplete jars.
fetch_jars() {
  need java openjdk-17-jre-headless
  [ -d "$libs" ] && return
  need mvn maven
  echo "downloading Kafka's jars to $libs ..." >&2
  mkdir -p "$(dirname "$libs")"
  local part
  part=$(mktemp -d "$libs.XXXXXX")
  mvn --quiet --batch-mode --file "$here/kafka.pom.xml" \
    dependency:copy-dependencies -DoutputDirectory="$part" -DincludeScope=runtime >&2 ||
    fail "Maven could not download Kafka's jars; see its output above"
  if [ -d "$libs" ]; then rm -rf "$part"; else mv "$part" "$libs"; fi
  [ -d "$libs" ] || fail "cannot create $libs; set KAFKA_LIBS to a directory that can be created"
}

answers() {
  (echo >"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Prints the first of three consecutive free ports, below the range from which systems assign ephemeral ports.
free_port() {
  local port
  for _ in $(seq 100); do
    port=$((20000 + RANDOM % 10000))
    answers "$port" || answers $((port + 1)) || answers $((port + 2)) || {
      echo "$port"
      return
    }
  done
  fail "found no three consecutive free ports between 20000 and 30000"
}

# Prints the port with which Kafka was last started in DIR. The settings in DIR store it. Fails if there is none.
used_port() {
  sed -n 's|^listeners=PLAINTEXT://127.0.0.1:\([0-9]*\),.*|\1|p' "$1/server.properties" 2>/dev/null | grep .
}

# Whether the Kafka of DIR is running. Checks the command line of the process, because its id may have been reused.
alive() {
  local pid
  pid=$(cat "$1/pid" 2>/dev/null) && [ -n "$pid" ] || return 1
  if [ -d /proc/self ]; then
    tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF "$1/server.properties"
  else
    ps -p "$pid" -o command= 2>/dev/null | grep -qF "$1/server.properties"
  fi
}

# Creates a certificate authority and a broker key signed by it, with keytool, which is part of Java.
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
      # The broker must not present the authority's certificate as its own.
      keytool -delete -alias ca "${store[@]}"
  } >"$dir/keytool.out" 2>&1 || { cat "$dir/keytool.out" >&2 && fail "cannot create certificates in $dir"; }
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
  # With one node, topics have one replica only. Groups do not wait for more members. No topic is created automatically.
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
  # Clients that connect to the other listeners are ANONYMOUS: the broker itself, and the code that prepares tests.
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
  ! alive "$dir" || fail "Kafka is already running in $dir; stop it first: $0 stop $dir"
  [ "$port" != any ] || port=$(used_port "$dir" || free_port)
  [[ "$port$proxy_port" =~ ^[0-9]+$ ]] || fail "PORT must be a number or \`any\`, PROXY_PORT a number"
  ! answers "$port" || fail "another program listens on port $port; choose another port: $0 start $dir any"
  [ -z "$secured" ] || [ -z "$proxy_port" ] || fail "--secured and PROXY_PORT exclude each other"
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
    kill -0 "$(cat "$dir/pid")" 2>/dev/null || { tail -n 20 "$dir/kafka.out" >&2 && fail "Kafka ended during start-up; see its output above"; }
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
  # The kill fails if the process has ended in the meantime.
  kill "$pid" 2>/dev/null || true
  while alive "$dir"; do
    [ $SECONDS -lt $deadline ] || { echo "kafka.sh: Kafka did not end within $wait_seconds s; killing it" >&2 && kill -KILL "$pid"; }
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
