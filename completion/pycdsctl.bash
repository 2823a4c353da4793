# Completion of pycdsctl(1) for bash.
# shellcheck shell=bash

# Words of the user may stand between the command and the cursor in any order, so everything is
# decided by the command and the word before.
_pycdsctl() {
    local words_before command='' word i
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()

    for ((i = 1; i < COMP_CWORD; ++i)); do
        word=${COMP_WORDS[i]}
        case $word in
            --socket) ((++i)) ;;
            -*) ;;
            *) command=$word; break ;;
        esac
    done
    words_before=" ${COMP_WORDS[*]:0:COMP_CWORD} "

    case $prev in
        --socket | --trace | --svg) _pycdsctl_files; return ;;
        --python) _pycdsctl_pythons; return ;;
        --pid) _pycdsctl_from "$(_pycdsctl_pids)"; return ;;
        -O | --optimize) _pycdsctl_from "0 1 2"; return ;;
        --import | --timeout) return ;;
    esac

    if [[ -z $command ]]; then
        if [[ $cur == -* ]]; then
            _pycdsctl_from "--help --version --socket"
        else
            _pycdsctl_from "build status list show verify drop env enable disable doctor explain run"
        fi
        return
    fi

    if [[ $cur == -* ]]; then
        case $command in
            build) _pycdsctl_from "--python --import --trace --all --optimize --run --hash-seed --timeout --json --help" ;;
            status | list | drop) _pycdsctl_from "--json --help" ;;
            show) _pycdsctl_from "--roots --left-out --pages --svg --json --help" ;;
            verify) _pycdsctl_from "--all --json --help" ;;
            env) _pycdsctl_from "--python --json --help" ;;
            run) _pycdsctl_from "--socket --quiet --children --hash-seed --help" ;;
            enable) _pycdsctl_from "--if-enabled --json --help" ;;
            disable) _pycdsctl_from "--all --json --help" ;;
            doctor) _pycdsctl_from "--pid --json --help" ;;
            explain) _pycdsctl_from "--python --json --help" ;;
        esac
        return
    fi

    case $command in
        run) mapfile -t COMPREPLY < <(compgen -c -f -- "$cur") ;;
        enable | disable | doctor) _pycdsctl_pythons ;;
        explain) _pycdsctl_files ;;
        show)
            if [[ $words_before == *' --pages '* ]]; then
                _pycdsctl_from "$(_pycdsctl_pids)"
            else
                _pycdsctl_images
            fi
            ;;
        verify) _pycdsctl_images ;;
        drop) _pycdsctl_images; [[ all != "$cur"* ]] || COMPREPLY+=(all) ;;
    esac
}

# _pycdsctl_from WORDS: those of them that begin like the word at the cursor.
_pycdsctl_from() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur"); }

_pycdsctl_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$cur")
}

# Interpreters by name while the word has no slash; else programs and directories, which may be
# virtual environments.
_pycdsctl_pythons() {
    local path
    compopt -o filenames 2>/dev/null
    if [[ $cur != */* ]]; then
        mapfile -t COMPREPLY < <(compgen -c -- "${cur:-python3}" | sort -u |
            grep -E '^python3(\.[0-9]+)?$')
    fi
    while IFS= read -r path; do
        if [[ -d $path || -x $path ]]; then COMPREPLY+=("$path"); fi
    done < <(compgen -f -- "$cur")
}

_pycdsctl_pids() {
    local file
    for file in /proc/[0-9]*; do printf '%s ' "${file#/proc/}"; done
}

# Ids of the images that the caller may map, or files. A daemon that does not answer costs nothing
# but a moment.
_pycdsctl_images() {
    if [[ $cur == */* ]]; then
        _pycdsctl_files
        return
    fi
    local ids socket='' i
    for ((i = 1; i < COMP_CWORD; ++i)); do
        [[ ${COMP_WORDS[i]} != --socket ]] || socket=${COMP_WORDS[i + 1]}
    done
    ids=$(timeout 1 pycdsctl ${socket:+--socket "$socket"} list --json 2>/dev/null |
        sed -n 's/.*"id": *"\([A-Za-z0-9-]*\)".*/\1/p')
    _pycdsctl_from "$ids"
}

complete -F _pycdsctl pycdsctl
