# Bash completion of jaga(1): commands, options, and names of devices, jobs and snapshots, which are
# asked from the collector (for at most two seconds; nothing is offered when it is not reachable).
# `make check-docs` holds the words below against `jaga --help`.

_jaga_common="--json --kv --socket --no-color --help --version"
declare -gA _jaga_options=(
	[status]="--check"
	[devices]=""
	[show]=""
	[events]="--follow --device --kind --limit"
	[snapshots]="--take --all"
	[doctor]="--all"
	[diff]=""
	[cat]=""
	[push]="--wait --expires --confirm --no-confirm --rollback --all"
	[job]="--wait --output"
	[jobs]=""
	[enroll]="--out --collector --force"
	[remove]=""
)

# _jaga_ask FIELD COMMAND...: the values of that field in the rows of a command, one a line. Only plain
# names: compgen -W expands its words, and nothing that others chose may be expanded.
_jaga_ask()
{
	local field=$1
	shift
	timeout 2 "${COMP_WORDS[0]}" "${_jaga_socket[@]}" --kv "$@" 2>/dev/null |
		sed -n "s/^[a-z]*\.[0-9]*\.$field=\([A-Za-z0-9._-]*\)\$/\1/p"
}

_jaga_offer()
{
	mapfile -t COMPREPLY < <(compgen "$@" -- "$_jaga_current")
}

# What an option's value may be; false when the word is no value of an option.
_jaga_value()
{
	case $1 in
	--socket) _jaga_offer -f ;;
	--out | -o)
		[[ $2 == enroll ]] || return 1
		_jaga_offer -d ;;
	--device | -d) _jaga_offer -W "$(_jaga_ask name devices)" ;;
	--kind | -k) _jaga_offer -W "bgp hotspot interface job l2tp lte netwatch notice offline online ospf ppp restart started uplink" ;;
	--limit | -n) _jaga_offer -W "10 50 1000" ;;
	--expires | -e) _jaga_offer -W "30m 2h 1d 7d" ;;
	--confirm) _jaga_offer -W "30 90 300 600" ;;
	--rollback | -r) _jaga_offer -f ;;
	--collector) COMPREPLY=() ;;
	-c)
		[[ $2 == enroll || $2 == push ]] || return 1
		COMPREPLY=() ;;
	*) return 1 ;;
	esac
}

# Operand number $2 (from 0) of command $1; $3 is the first operand.
_jaga_operand()
{
	case $1:$2 in
	show:0 | doctor:0 | status:0 | events:0 | snapshots:0 | diff:0 | cat:0 | push:0 | jobs:0 | remove:0) _jaga_offer -W "$(_jaga_ask name devices)" ;;
	diff:1 | diff:2 | cat:1) _jaga_offer -W "$(_jaga_ask n snapshots "$3")" ;;
	push:1) compopt -o filenames 2>/dev/null; _jaga_offer -f ;;
	job:0) _jaga_offer -W "$(_jaga_ask job jobs)" ;;
	help:0) _jaga_offer -W "${!_jaga_options[*]}" ;;
	*) COMPREPLY=() ;;
	esac
}

_jaga()
{
	local _jaga_current=${COMP_WORDS[COMP_CWORD]}
	local _jaga_socket=() command="" first="" word previous=""
	local -i n_operands=0 i

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ $previous == --socket ]]; then
			_jaga_socket=(--socket "$word")
		elif [[ $previous =~ ^(--device|-d|--kind|-k|--limit|-n|--expires|-e|--collector|--confirm|--rollback|-r)$ ||
			($command == enroll && $previous =~ ^(--out|-o|-c)$) || ($command == push && $previous == -c) ]]; then
			: # the value of an option
		elif [[ $word == -* ]]; then
			:
		elif [[ -z $command ]]; then
			command=$word
		else
			((n_operands++ == 0)) && first=$word
		fi
		previous=$word
	done
	_jaga_value "$previous" "$command" && return
	if [[ $_jaga_current == -* ]]; then
		_jaga_offer -W "$_jaga_common ${_jaga_options[${command:-none}]-}"
	elif [[ -z $command ]]; then
		_jaga_offer -W "${!_jaga_options[*]} help"
	else
		_jaga_operand "$command" "$n_operands" "$first"
	fi
}

complete -F _jaga jaga
