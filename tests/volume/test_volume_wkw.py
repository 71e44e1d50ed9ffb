"""webKnossos' cubes, as `wkw` writes them: the same voxels at the same places, in pieces of any shape."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from door import wkw as write_dataset
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.volume.geometry import Block
from pipeline.volume.sources import TRUSTED, open_source

# Written by wkw 1.1.24: the array below, from voxel 1, 2, 3 (z, y, x) on, in cubes of 8 voxels and blocks of 4.
FILES = json.loads(
    zlib.decompress(
        base64.b85decode(
            "".join(
                (
                    "c-",
                    "rk)X_ul{68$S<s~l6u>BlOJxPYkO0)isy2lo}lR7n>k^|uc~nr3C0Syj{BGt)iwK5(v{0D>DYZbUr$m&FnLbvo(|N1K1_=lfs&`L|!H7_{o*kj",
                    "+Tob^Y@9zqyu2@T&!WJ%F!mE7o+>b#43Y&9vd7olcx67bTLFgWpBvNpBo=(V&FwTP}k5P`dA;m__ep7wJkaws#R_Cl!t9(q|DM$fgBgv7IHj{x",
                    "nTwbNeJpqkT+9B1_vfu1Z9&36v_U0ML_I0OOVj;4D-",
                    "DaG38G+6mptX0R%e$DeaTz9A_^LE*CjP+7wfKuOscpxTdFz#!WaV0OgZc|B1em|ZJQu+8|A$Z)kSERBr{zn=_Gh0Z2}m2>fg4NNmtN0JFsM~t;",
                    "zzA*<-Ij;d&(-",
                    "|D{KMiBncCsRolewYn)HujU!X}gv*s%fR%z6umsWJkwjDG=QrLYNNsp1ikKz;z^6J1Sn4JM}zON~~uk;NxXYpgAMW)s`?>|@<ONG>D2mv_Qs9V",
                    "kk!JV<x6^f<F){f>X>3_k2lnuxIw%K)K<A?IQRT{>4sKR9}~%ENil`DpSPa0SQ)TtXlLcaj*8U0Y?!-",
                    "0pb*@Q2Q3ryQT3R>dav)LtCfU82_;0Mn1yL4&oUp$YbI3We)72>Ydnk@HvrNwa>=>SzfxZp)C>u{Y;u7?v7j+41!F0Jl3;6XZC-",
                    "S4<w0!9|J_QWu|PRG-ol$LIMRG3Mv2<FiczgyB2RWe7V#Rtcgf)~ifsj6VXNfUq0&?Ovp@(iH?#7sbx8zc9+^Y&pqVt7UkC>{tF8nQr%dete$|",
                    "Srv=4G|lQEhoP_5t<QbC@_rLAoBA3_+Phs8G3v#*Jw_E;d{CQ7{)mi|I$AT*lX4uzhnrIcRI^qIR7FSx)i&P(HAL)#+V-",
                    "$?K9GX%CldTwA`Oi4(MymC8BESyWRaT)?;^j+o~thESTU*XJ^mSQc;7E(@B{4ybZ5}#TOv`gos<EBa*tjj<<Mn}$Uy<zNu*XoP4pVk1{rM&w>u",
                    "iVw&X6q>X&5Th>Tda2@a$K1Q%#V-",
                    "DD_FC7hE2O<zF)=7_x{!~BvAmJ>J~LX4HRdJW3uDY3%!D{aMLCltjqRD*okndEZfTp}aSKaEO06B><ov79<<fLgKPLrT>!dB?w|!ACj}ewvgsY",
                    "^gBodz+(H4H|?RE0}~DIUZei>5hz`sa)?swR_t>49ut2BdBU&l?cp31_hvb=eCKye8+42;BO0I&)(%#7nyQ0?Zx1MU5zH5)DcWmbP==K7)=*tG",
                    "ptW{5x+B2TNjlC4iDWt0ef-ci#2Lg;)O2k$<akDl?CvM<yk~4*Dkh-m&2;e9D&-",
                    "M)1Z#6lc0XU5TI_VDo|?ENI47%KFPmNhARZjrxcXW&K)j@(u;_Mc>$ohMI)u+X_5`i`ZSLQa=}Y<b56jt-",
                    "X*#%=b}{rHhu6EyiFPQI6EB8nS7%m@OjJ9CBfYAb;0h=2E}B=4qc?K3wn-",
                    "*fj;t>0eyB`0DUMXgMN~0fPuc<VBxcG_rjzrW@<3|Mow9T;Xc@)x2^RqRG+3=&s1YBZ(x+AOCuMpt%~ODgKhC)fxGAc$;Z5xesVaec-",
                    "1Rj#Re{lXi;J5B67D%RhbhtiaD_X32!U&tJ#1MYJ=LxUx$~p!X?X!g|&>LC0Y-5FLbLHx>pyvA3eHpt}y);0pHKt3scj<-",
                    "A*8c=PO@z0*>wdUf^PVkJlTA(H&)OTvU*XJ+JIEdLmi$7-",
                    "pem&XYBKkx9F#Nx+);MK5sjIUh8NUUDqpFk&N&#4qIUZ37rdR@Hx}4cMv^w+$ezBZd;$PVSk=?e-",
                    "WMI3=b;frtA<p*x+e7EinE7kWo<ZT~r!C;S$nle@KlO`f~>foaEm5L?P&G$)Lm+G+ai2_Pc+91xwA0b)zU0<k^m1EexbIJ-",
                    "5~tWTupTBFB@#|{6?p0;-Vho{y#(B1XhyHNO@W`V604FXj4ImA{6gH<4JswQ$KnuI!??wJC~=Hc-",
                    "`48Gh$LTz`~cF!%UHwrHZWa1zCsp%!6I%4BzplIpt`?{YDYa>t!4x*skOq@V@>hLdeTIS-",
                    "e&~ByIP`4Htw!6E`stc5!62phBsDRs<Ly|2C{v5#OrIJ$u9x9g_KXfh;(`kxG_VTmiT%y$Fr?dAB%y25~{*2{HgDbnFd77#CMw*MKQE$GgtOtf",
                    "J3?GfSzFI#*gFyf&E$F=Cqf+6(2H5&xNQjN2c4qXWC6^a|v%nCJ8kut-F1JM>6=DjIs$3ID&&x5W5KjiE_;Ny;s~vH8bx7t=eZ457@lK+KL-",
                    "Bc!ptAIoM2VyPVS2!yrAJ>pSL&YZgeOC<E<Clz1Fwc32IsYx3W?%&>?KMX%09)tS^)*S3l|BBMD4$*@QElu75LH}*%uCN-boMrNu`GY-",
                    "?xf;xwUhPJLyv>fynEn48e>30tqcUd!qP2tclXxIK&EN9KEYENFrSYNQ`R(oM;rC$O_`tI2H7LJh)vt)!d+&;vrv$l~iPilq7NY+8uo<UWKfyg",
                    "O9_u(07!$)pZKFZ{ZelveW31L}O(jL{r5n^0X}(Ot-q(Ic-hMa4yv+z-",
                    "_VV+h+LHzqb*BzeB(j<m7c(8)QB9{tG7SKCdssCdR^x&}|d2#xm)Z!W>09d)AGRxe^ZVYPhqbXHGHp)q6x948>wK_^@&mYtnkdqnxDWOT7+(dO",
                    "45)^?Jkx8eD1vMW7;}nacV=OMeW5mbpziIv0cAJisg8CUof&X0-FRM8lyvgAn{ATO)*`RxQ?HDel|>y)aej%tt_DstnKq0Ul^{L;{UzsSX-zWd",
                    "NEbU&zVe3@fWr@LZMn4O?B!f}E=N*A+D$2q+q~TMaK!Gk%}SeG3u%eIXjg=b534oZcQ!dFdp^i-",
                    "?Q%VYTVK+gGCv>0Kzptwd`6MeQD*0O4ok%Lk!u?JlZy8glru#`iub7j9q$hhfORaBX;87s$elC`9|yqPA8M=ic-32g&%1!wXNF-",
                    "v0jl9>>HltM<k6gZbUD#WUm~4}PzOUgsSkk)N2sgYgv|j8E(k+P*%RL4S*1up>AuD&%LPGgoda&Okiv-",
                    "?O{Z9BB9K<a788SKGcQS1VzsTs`|7QGV1XJ$FUW_1pkPYG1qFeY&!d_gzsx{5AD;=8D$*717d<bM@JI#pum|B$zX~Sv30GyqFABjB<FFu|)PP`",
                    "6_stP2B9hw|V(wVbb-",
                    "41JkFUxqe7pQTOzTU5u$;QGM`<9jQleUD7>+Vf@jw$Ix^_PDrPLnIZmh`JUa{s#j8`DRHQ2uPXR9Im__(?CzYRWbWDB>#(j2L627sklhuDfv+A",
                    "x@c0!CuJ0fYg|E3<>sLgtuWV3<uk5H>f(o%$es29R_(sR}x;|^$-",
                    "o7`2ue#ajc@~o6a<o%T6a&yGVG!*}YJ3iwZ#*;oLkcmratTSE1|k+tRa$sP==Wm;D=k0NO8Ae`%G*<7jcQ-~(2hUHJKj-",
                    "1u@u|+KeSWh>m2J%Q?EVVUu99Ik@JpH*kq{Pf6-`UJ9}qWo+zz|S9kmiF8!j>Q0n~7uB8%NZ>a6B<fitnd-",
                    "!v&sa0=z$8Ea3;`SffZ4G8iyz7katy^bwo7_K$65*Bo+X3DG`ZD-P${T<mhqxJkckXjrNBl8Ue0S~>G_XzcogLk-X_kvp*(DQt(dY*{@xG9~4i",
                    "1F>q2iSa3ZQ81Pqx=ywG#eqeP!}GK*Ma~vp%o_UD2HWkLV7-*dx=nPc&PSm?W3WpOAZYrFb~B6(OJbAW;|;k&)-",
                    "k^B?3Atc|W{v$&#!`88Le?zQ{Fu0Ep`>W|}!o6Hz2*Xup!bN&D&@Vl+8^5-+D722up8=?Nz{P=VITz|#&PAh-",
                    "7ugt`0dHn8R>E5bX>$x{BD|Wns{$Fy<t4hclmkX<f?t9VbkobPgRD~Gojmz3lhP+X%Y0YQS&+Yni{apV&tvvk;CSA#_",
                )
            )
        )
    )
)
DATA = np.indices((9, 5, 6))
DATA = (DATA[0] * 40 + DATA[1] * 7 + DATA[2] * 3 + 1).astype("u2")


def dataset(folder: Path, kind: str, first: tuple[int, int, int] = (3, 2, 1)) -> str:
    for name, content in FILES.items():
        file = folder / "ds" / name.replace("/", "/1/", 1)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b85decode(content))
    depth, height, width = DATA.shape
    box = {"topLeft": first, "width": width, "height": height, "depth": depth}
    mags = [{"mag": [1, 1, 1], "path": f"./{kind}/1"}]
    layer = {"name": kind, "dataFormat": "wkw", "boundingBox": box, "mags": mags}
    properties = {"scale": [8, 8, 40], "dataLayers": [layer]}
    (folder / "ds/datasource-properties.json").write_text(json.dumps(properties))
    return str(folder / "ds")


@pytest.mark.parametrize("kind", ["raw", "lz4", "lz4hc"])
def test_what_wkw_wrote_is_read(tmp_path: Path, kind: str) -> None:
    with open_source(dataset(tmp_path, kind), Path(), TRUSTED) as source:
        np.testing.assert_array_equal(source.read(0, 9), DATA)
        assert source.voxel_size_nm == (40.0, 8.0, 8.0)


@given(data=st.data())
def test_any_block_is_that_part(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp() / "wkw-blocks"
    ends = [sorted(data.draw(st.sets(st.integers(0, n), min_size=2, max_size=2))) for n in DATA.shape]
    block = Block(tuple(start for start, _ in ends), tuple(stop for _, stop in ends))
    with open_source(dataset(folder, data.draw(st.sampled_from(("raw", "lz4")))), Path(), TRUSTED) as source:
        np.testing.assert_array_equal(source.read_block(block), DATA[block.slices])


def test_a_cube_that_was_never_written_is_empty(tmp_path: Path) -> None:
    place = dataset(tmp_path, "lz4")
    (tmp_path / "ds/lz4/1/z1/y0/x0.wkw").unlink()
    with open_source(place, Path(), TRUSTED) as source:
        found = source.read(0, 9)
        assert not found[7:, :, :5].any()
        np.testing.assert_array_equal(found[:7], DATA[:7])
        np.testing.assert_array_equal(found[7:, :, 5:], DATA[7:, :, 5:])


@pytest.mark.parametrize("kind", ["raw", "lz4"])
@given(at=st.integers(0, 651), value=st.integers(0, 255))
def test_any_byte_that_is_changed_gives_the_same_shape_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, at: int, value: int
) -> None:
    """Of the header: the right voxels, or refused."""
    folder = tmp_path_factory.getbasetemp() / f"wkw-bytes-{kind}"
    place = dataset(folder, kind)
    file = folder / f"ds/{kind}/1/z0/y0/x0.wkw"
    content = bytearray(file.read_bytes())
    is_changed, content[at] = content[at] != value, value
    file.write_bytes(content)
    try:
        with open_source(place, Path(), TRUSTED) as source:
            found = source.read(0, 9)
    except DataError:
        assert is_changed
        return
    assert found.shape == DATA.shape
    if at < 8:
        np.testing.assert_array_equal(found, DATA)


@pytest.mark.parametrize("level", [0, 1])
def test_levels_are_magnifications(tmp_path: Path, level: int) -> None:
    """The second is half as fine along x and y; its box covers whatever a part of it is in."""
    fine = np.arange(4 * 20 * 31, dtype="u2").reshape(4, 20, 31)
    place = tmp_path / write_dataset(fine, (1, 3, 5))(tmp_path)
    coarse = np.arange(4 * 11 * 16, dtype="u2").reshape(4, 11, 16)
    (tmp_path / "other").mkdir()
    write_dataset(coarse, (1, 1, 2))(tmp_path / "other")
    (tmp_path / "other/ds/color/1").rename(place / "color/2-2-1")
    properties = json.loads((place / "datasource-properties.json").read_text())
    properties["dataLayers"][0]["mags"] = [{"mag": [2, 2, 1]}, {"mag": [1, 1, 1]}]
    (place / "datasource-properties.json").write_text(json.dumps(properties))
    with open_source(f"{place}[level {level}]", Path(), TRUSTED) as source:
        np.testing.assert_array_equal(source.read(0, 4), (fine, coarse)[level])
        assert source.voxel_size_nm == ((10, 5, 4), (10, 10, 8))[level]
    with open_source(f"{place}:/color/2-2-1", Path(), TRUSTED) as source:
        np.testing.assert_array_equal(source.read(0, 4), coarse)


@given(shape=st.tuples(*[st.integers(1, 40)] * 3), first=st.tuples(*[st.integers(0, 40)] * 3), kind=st.integers(1, 3))
def test_wkw_reads_what_ours_reads(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, int, int],
    first: tuple[int, int, int],
    kind: int,
) -> None:
    wkw = pytest.importorskip("wkw", reason="made for Linux on x86 alone")
    folder = tmp_path_factory.mktemp("both")
    data = np.random.default_rng(0).integers(0, 2**16, shape).astype("u2")
    place = folder / write_dataset(data, first, kind)(folder)
    with open_source(str(place), Path(), TRUSTED) as source:
        found = source.read(0, shape[0])
    with wkw.Dataset.open(str(place / "color/1")) as other:
        np.testing.assert_array_equal(other.read(first[::-1], shape[::-1])[0].T, found)
