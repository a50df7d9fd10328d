# shellcheck shell=bash
# Owns the processes of the node: each has a file with its pid and the program it runs, so that the pid of a process
# that is long gone, and that another program has been given since, is never signalled.

start() { # name, program, arguments…
  local name=$1 program
  program=$(readlink -f "$(command -v "$2")")
  shift 2
  # A session of its own: neither a Ctrl-C nor the end of the terminal reaches it. The lock is not handed on.
  setsid "$program" "$@" >"$RUN/logs/$name.log" 2>&1 </dev/null {LOCK}>&- &
  printf '%s %s\n' "$!" "$program" >"$RUN/$name.pid"
}

# Prints the pid if the process still is the program that was started. A program that was rebuilt since then shows as
# deleted, and one that is just starting is still setsid.
pid_of() {
  local pid program now
  read -r pid program 2>/dev/null <"$RUN/$1.pid" || return 1
  now=$(readlink "/proc/$pid/exe" 2>/dev/null) || return 1
  now=${now% (deleted)}
  [ "$now" = "$program" ] || [ "$(basename "$now")" = setsid ] || return 1
  echo "$pid"
}

is_alive() { pid_of "$1" >/dev/null; }

stop() {
  local pid tries
  if pid=$(pid_of "$1"); then
    # A frozen one (kill -STOP) takes a signal only when it runs again.
    kill -CONT "$pid" 2>/dev/null || true
    kill "$pid" 2>/dev/null || true
    for ((tries = 0; tries < 100; tries++)); do is_alive "$1" || break; sleep 0.1; done
    pid=$(pid_of "$1") && kill -KILL "$pid" 2>/dev/null
  fi
  rm -f "$RUN/$1.pid"
}

wait_for() { # name of what is awaited, seconds, command…
  local what=$1 limit=$2 from=$SECONDS
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS - from > limit)); then
      say "$what was not there after $limit s; logs: $RUN/logs"
      return 1
    fi
    sleep 0.3
  done
}

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
